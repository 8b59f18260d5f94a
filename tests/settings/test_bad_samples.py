"""Every rule of the settings has a sample that breaks it and nothing else; its first line says what must be told."""

from pathlib import Path

import pytest
from plain_venue import PLAIN

from gateway.settings import load
from gateway.settings.schema import Faults

SAMPLES = sorted((Path(__file__).parent / "bad").glob("*.toml"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_bad_sample_gives_its_one_fault(sample: Path) -> None:
    wanted_path, _, words = sample.read_text().splitlines()[0].removeprefix("# ").partition(": ")

    result = load(sample, {}, (PLAIN,))

    assert isinstance(result, Faults)
    (fault,) = result.faults
    assert fault.path == (str(sample) if wanted_path == "FILE" else wanted_path)
    assert words in f"{fault.problem}; {fault.remedy}"
    assert "\n" not in str(fault)


def test_samples_are_there() -> None:
    assert len(SAMPLES) > 80
