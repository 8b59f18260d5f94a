"""What a panel and a board are, and how they become Grafana's. What they show stands in the files beside this one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, assert_never

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "cancel-gateway"
# Of an instant query Grafana would show when it was asked, and a 1.
ONLY_LABELS = model.DataTransformerConfig(id_val="organize", options={"excludeByName": {"Time": True, "Value": True}})
OURS = re.compile(r"(?<![=!])~")
GREEN, AMBER, RED, BLUE, GREY = "green", "orange", "red", "blue", "text"

Bound: TypeAlias = tuple[float, str]
Shown: TypeAlias = timeseries.Panel | stat.Panel | statetimeline.Panel | heatmap.Panel | table.Panel


class Kind(StrEnum):
    """How a panel shows its series."""

    LINES = "lines"
    STACK = "stack"
    STAT = "stat"
    STATES = "states"
    HEAT = "heat"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Query:
    """One query, and how its series are called."""

    expr: str
    legend: str = ""
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One question, answered. `bounds`: from which value on it looks how; `words`: what a value is called."""

    title: str
    says: str
    queries: tuple[Query, ...]
    kind: Kind = Kind.LINES
    unit: str = "short"
    width: int = 8
    height: int = 8
    bounds: tuple[Bound, ...] = ()
    words: tuple[tuple[float, str, str], ...] = ()
    nothing: str = ""
    decimals: int | None = None
    least: float | None = 0
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    says: str
    rows: tuple[Row, ...]


def q(expr: str, legend: str = "", *, exemplars: bool = False) -> Query:
    """A query with this project's prefix: `~` before a name stands for it."""
    return Query(OURS.sub("cancel_gateway_", expr), legend, exemplars)


def quantiles(
    histogram: str, by: str, *parts: float, legend: str = "", labels: str = 'venue=~"$venue"'
) -> tuple[Query, ...]:
    """Some quantiles of a histogram, over all replicas."""
    grouped = (
        f"sum by (le{', ' + by if by else ''}) (rate(cancel_gateway_{histogram}_bucket{{{labels}}}[$__rate_interval]))"
    )
    return tuple(
        Query(f"histogram_quantile({part:g}, {grouped})", f"{legend} p{100 * part:g}".strip()) for part in parts
    )


# -- Grafana's own form ------------------------------------------------------------------------------------------------


def built(board: Board) -> model.Dashboard:
    """The dashboard that goes out as JSON."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.says)
        .tags([TAG])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("cancel-gateway")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_venues())
    )
    for each in _annotations():
        made = made.annotation(each)
    number = 0
    for row in board.rows:
        number += 1
        made = made.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            made = made.with_panel(_panel(panel).id(number))
    return made.build()


def _venues() -> dashboard.QueryVariable:
    everything = model.VariableOption(selected=True, text="All", value="$__all")
    return (
        dashboard.QueryVariable("venue")
        .label("Venue")
        .datasource(SOURCE)
        .query("label_values(cancel_gateway_queue_depth, venue)")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".+")
        .current(everything)
    )


VERSIONS = "count by (version) (cancel_gateway_build_info{when})"
ANNOTATIONS = (
    ("Deploys", BLUE, f"{VERSIONS.format(when='')} unless {VERSIONS.format(when=' offset 2m')}"),
    ("Gates", RED, 'max by (venue, scope) (cancel_gateway_gate_closed{venue=~"$venue"}) == 1'),
    ("Failovers", AMBER, 'max by (component) (cancel_gateway_degraded{component="redis"}) == 1'),
)


def _annotations() -> list[dashboard.AnnotationQuery]:
    return [
        dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(enable=True).icon_color(color).expr(expr)
        for name, color, expr in ANNOTATIONS
    ]


def _panel(panel: Panel) -> Shown:
    match panel.kind:
        case Kind.LINES | Kind.STACK:
            made: Shown = _lines(panel)
        case Kind.STAT:
            made = _stat(panel)
        case Kind.STATES:
            made = (
                statetimeline.Panel()
                .row_height(0.8)
                .show_value(look.VisibilityMode.NEVER)
                .line_width(0)
                .fill_opacity(80)
            )
        case Kind.HEAT:
            made = _heat(panel)
        case Kind.TABLE:
            made = table.Panel().show_header(show_header=True).with_transformation(ONLY_LABELS)
        case _:
            assert_never(panel.kind)
    return _common(made, panel)


def _common(made: Shown, panel: Panel) -> Shown:
    made = made.title(panel.title).description(panel.says).datasource(SOURCE)
    made = made.unit(panel.unit).span(panel.width).height(panel.height)
    for number, query in enumerate(panel.queries):
        made = made.with_target(_target(panel, query, chr(ord("A") + number)))
    if panel.bounds or panel.kind in {Kind.STAT, Kind.STATES}:
        made = made.thresholds(_thresholds(panel.bounds))
    if panel.words:
        made = made.mappings([_words(panel.words)])
    if panel.nothing:
        made = made.no_value(panel.nothing)
    if panel.least is not None and panel.kind in {Kind.LINES, Kind.STACK}:
        made = made.min(panel.least)
    if panel.decimals is not None:
        made = made.decimals(panel.decimals)
    return made if panel.most is None else made.max(panel.most)


def _target(panel: Panel, query: Query, ref: str) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(ref).expr(query.expr).legend_format(query.legend).datasource(SOURCE)
    if panel.kind is Kind.HEAT:
        return made.range().format(PromQueryFormat.HEATMAP)
    if panel.kind is Kind.TABLE:
        return made.instant().format(PromQueryFormat.TABLE)
    return made.range().exemplar(query.exemplars)


def _thresholds(bounds: Sequence[Bound]) -> dashboard.ThresholdsConfig:
    steps = [model.Threshold(value=None, color=GREEN), *(model.Threshold(value=at, color=to) for at, to in bounds)]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _words(words: Sequence[tuple[float, str, str]]) -> model.ValueMap:
    said = {f"{value:g}": model.ValueMappingResult(text=text, color=color) for value, text, color in words}
    return model.ValueMap(options=said)


def _lines(panel: Panel) -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(look.LegendDisplayMode.LIST).placement(look.LegendPlacement.BOTTOM)
    tooltip = common.VizTooltipOptions().mode(look.TooltipDisplayMode.MULTI).sort(look.SortOrder.DESCENDING)
    made = timeseries.Panel().legend(legend.show_legend(show_legend=True)).tooltip(tooltip).line_width(1.5)
    if panel.kind is Kind.STACK:
        return made.fill_opacity(40).stacking(common.StackingConfig().mode(look.StackingMode.NORMAL).group("A"))
    if panel.bounds:
        made = made.thresholds_style(common.GraphThresholdsStyleConfig().mode(look.GraphThresholdsStyleMode.DASHED))
    return made.fill_opacity(8)


def _stat(panel: Panel) -> stat.Panel:
    color = look.BigValueColorMode.BACKGROUND if panel.bounds else look.BigValueColorMode.NONE
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().reduce_options(last).color_mode(color).graph_mode(look.BigValueGraphMode.AREA)


def _heat(panel: Panel) -> heatmap.Panel:
    colors = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Blues").steps(64).exponent(0.5)
    return heatmap.Panel().color(colors).y_axis(heatmap.YAxisConfig().unit(panel.unit))
