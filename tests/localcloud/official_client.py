"""Drives the cloud at RUNPOD_API_BASE_URL with RunPod's own Python package, and prints what that gave back as JSON.

Run by ``test_official_client.py`` with the Python of an environment that has the package.
"""

import json
import os
import time

import runpod

GPU = "NVIDIA GeForce RTX 4090"


def until(pod_id, status):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pod = runpod.get_pod(pod_id)
        if pod["desiredStatus"] == status and (status != "RUNNING" or pod["runtime"]):
            return pod
        time.sleep(0.1)
    raise SystemExit(f"{pod_id} never was {status}")


def refusal(call):
    try:
        call()
    except runpod.error.RunPodError as error:
        return f"{type(error).__name__}: {error}"
    return None


def main():
    runpod.api_key = os.environ["RUNPOD_API_KEY"]
    told = {"user": runpod.get_user(), "gpus": runpod.get_gpus(), "gpu": runpod.get_gpu(GPU)}
    made = runpod.create_pod(
        name="from the package",
        image_name="runpod/base:1.0.2-ubuntu2404",
        gpu_type_id=GPU,
        cloud_type="SECURE",
        gpu_count=2,
        volume_in_gb=20,
        container_disk_in_gb=10,
        ports="22/tcp,8888/http",
        volume_mount_path="/workspace",
        env={"A": "1"},
    )
    told["made"] = made
    told["running"] = until(made["id"], "RUNNING")
    told["stopped"] = runpod.stop_pod(made["id"])
    until(made["id"], "EXITED")
    told["resumed"] = runpod.resume_pod(made["id"], gpu_count=2)
    told["running again"] = until(made["id"], "RUNNING")
    told["pods"] = [pod["id"] for pod in runpod.get_pods()]
    runpod.terminate_pod(made["id"])
    told["pods left"] = [pod["id"] for pod in runpod.get_pods()]
    told["cpu"] = runpod.create_pod("cpu", "runpod/base:1", instance_id="cpu3c-2-4", container_disk_in_gb=10)
    until(told["cpu"]["id"], "RUNNING")
    runpod.terminate_pod(told["cpu"]["id"])
    told["too many"] = refusal(lambda: runpod.create_pod("x", "runpod/base:1", GPU, gpu_count=64))
    runpod.api_key = "wrong"
    told["wrong key"] = refusal(runpod.get_pods)
    print(json.dumps(told))


main()
