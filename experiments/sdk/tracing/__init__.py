"""One isolated tracer per datapoint on the OpenTelemetry SDK; no global state of it is touched."""
