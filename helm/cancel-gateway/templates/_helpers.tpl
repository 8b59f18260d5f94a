{{- define "gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 57 | trimSuffix "-" -}}
{{- else if contains (include "gateway.name" .) .Release.Name -}}
{{- .Release.Name | trunc 57 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "gateway.name" .) | trunc 57 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gateway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: cancel-gateway
{{ include "gateway.selector" . }}
{{- end -}}

{{- define "gateway.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "gateway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "gateway.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The most processes that can run at once: what autoscaling may reach, and the surge of a roll-out on top of it. */}}
{{- define "gateway.replicasMax" -}}
{{- $most := ternary .Values.autoscaling.max .Values.replicas .Values.autoscaling.enabled | int -}}
{{- $surge := .Values.rollout.maxSurge | int -}}
{{- if kindIs "string" .Values.rollout.maxSurge -}}
{{- $surge = div (add (mul $most (trimSuffix "%" .Values.rollout.maxSurge | int)) 99) 100 | int -}}
{{- end -}}
{{- add $most $surge -}}
{{- end -}}

{{/* Where an address such as 0.0.0.0:8080 listens. */}}
{{- define "gateway.callerPort" -}}8080{{- end -}}
{{- define "gateway.adminPort" -}}9090{{- end -}}

{{/* A table without the keys that were taken out by setting them to null. */}}
{{- define "gateway.said" -}}
{{- range $key, $value := . }}
{{- if kindIs "map" $value }}
{{ toJson $key }}: {{ include "gateway.said" $value | fromYaml | toJson }}
{{- else if not (kindIs "invalid" $value) }}
{{ toJson $key }}: {{ toJson $value }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The settings as they are mounted: what the chart decides, and what the values say. */}}
{{- define "gateway.settings" -}}
{{- $said := include "gateway.said" .Values.config | fromYaml -}}
{{- $server := default dict $said.server -}}
{{- range $key := list "listen" "admin_listen" "tls_cert" "tls_key" "tls_client_ca" -}}
{{- if hasKey $server $key -}}
{{- fail (printf "config.server.%s is set by the chart: use service.port, adminService.port or tls.* instead" $key) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $server "listen" (printf "0.0.0.0:%s" (include "gateway.callerPort" .)) -}}
{{- $_ := set $server "admin_listen" (printf "0.0.0.0:%s" (include "gateway.adminPort" .)) -}}
{{- if .Values.tls.secretName -}}
{{- $_ := set $server "tls_cert" "/etc/cancel-gateway/tls/tls.crt" -}}
{{- $_ := set $server "tls_key" "/etc/cancel-gateway/tls/tls.key" -}}
{{- if .Values.tls.clientCaSecret -}}
{{- $_ := set $server "tls_client_ca" "/etc/cancel-gateway/client-ca/ca.crt" -}}
{{- end -}}
{{- else if .Values.tls.clientCaSecret -}}
{{- fail "tls.clientCaSecret needs tls.secretName: without a certificate of our own there is no TLS to show one in" -}}
{{- end -}}
{{- $_ := set $said "server" $server -}}
{{- $redis := default dict $said.redis -}}
{{- $most := include "gateway.replicasMax" . | int -}}
{{- if hasKey $redis "replicas_max" -}}
{{- if lt (int $redis.replicas_max) $most -}}
{{- fail (printf "config.redis.replicas_max is %d, but %d processes can run at once (replicas or autoscaling.max, plus rollout.maxSurge): without Redis they would share a limit too generously. Leave it out, or set at least %d" (int $redis.replicas_max) $most $most) -}}
{{- end -}}
{{- else -}}
{{- $_ := set $redis "replicas_max" $most -}}
{{- end -}}
{{- if and (not (hasKey $redis "url")) (not .Values.redis.urlSecret.name) -}}
{{- fail "Redis is needed: set redis.urlSecret.name (a Secret whose key `url` holds the address with its password), or config.redis.url for one without a password" -}}
{{- end -}}
{{- if eq (toString (default "" $redis.url)) "embedded" -}}
{{- fail "config.redis.url = embedded gives every pod a Redis of its own, so that limits are not shared: name a Redis that all pods reach" -}}
{{- end -}}
{{- $_ := set $said "redis" $redis -}}
{{- if not $said.venues -}}
{{- fail "config.venues names no venue, so nothing could be cancelled: add one such as config.venues.orderly.base_url" -}}
{{- end -}}
{{- if .Values.credentials.vaultAgent.enabled -}}
{{- $_ := set $said "secrets" (merge (dict "provider" "files" "directory" "/vault/secrets") (default dict $said.secrets)) -}}
{{- end -}}
{{- toYaml $said -}}
{{- end -}}

{{/* One table as TOML: its own values first, then the tables in it. Numbers come as floats, and mean whole ones. */}}
{{- define "gateway.toml" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
{{- if not (kindIs "map" $value) }}
{{ include "gateway.tomlKey" $key }} = {{ include "gateway.tomlValue" $value }}
{{- end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- if kindIs "map" $value -}}
{{- $inner := append $path (include "gateway.tomlKey" $key) }}

[{{ join "." $inner }}]
{{- include "gateway.toml" (dict "path" $inner "table" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "gateway.tomlKey" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . -}}{{ . }}{{- else -}}{{ toJson . }}{{- end -}}
{{- end -}}

{{- define "gateway.tomlValue" -}}
{{- if kindIs "float64" . -}}{{ int64 . }}
{{- else -}}{{ toJson . }}
{{- end -}}
{{- end -}}

{{- define "gateway.config" -}}
{{- include "gateway.toml" (dict "path" list "table" (include "gateway.settings" . | fromYaml)) | trim -}}
{{- end -}}

{{/* Credentials that lie in Secrets: those that exist, and those that External Secrets makes. */}}
{{- define "gateway.credentialSources" -}}
{{- range .Values.credentials.secrets }}
- secret:
    name: {{ .secret }}
    items:
      - key: {{ .key }}
        path: {{ printf "%s/%s.json" .venue .account }}
        mode: 0440
{{- end }}
{{- if .Values.credentials.externalSecrets.enabled }}
{{- range .Values.credentials.externalSecrets.items }}
- secret:
    name: {{ include "gateway.externalName" (dict "root" $ "item" .) }}
    items:
      - key: credential.json
        path: {{ printf "%s/%s.json" .venue .account }}
        mode: 0440
{{- end }}
{{- end }}
{{- end -}}

{{- define "gateway.externalName" -}}
{{- printf "%s-%s-%s" (include "gateway.fullname" .root) .item.venue .item.account | lower | replace "_" "-" | replace "." "-" | trunc 63 | trimSuffix "-" -}}
{{- end -}}
