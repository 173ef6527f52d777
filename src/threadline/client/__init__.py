"""The Python SDK: standard library only. `threadline` itself has its public names."""
