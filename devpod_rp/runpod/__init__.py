"""RunPod's API and nothing else: REST v2 as documented at docs.runpod.io and in its OpenAPI specification."""
