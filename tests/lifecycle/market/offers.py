"""Small catalogs for the tests of placement."""

from __future__ import annotations

from typing import Any

from devpod_rp.runpod.model import CpuType, GpuType
from devpod_rp.spec.model import EnvironmentSpec


def gpu(
    name: str,
    *,
    secure: float = 0.5,
    community: float | None = None,
    memory: int = 24,
    stock: str | dict[str, str] = "HIGH",
    most: int = 8,
) -> GpuType:
    """One GPU type; *stock* is a level everywhere (in EU-1), or a level per data center."""
    centers = {"EU-1": stock} if isinstance(stock, str) else stock
    best = max(centers.values(), key=["NONE", "LOW", "MEDIUM", "HIGH"].index, default="NONE")
    return GpuType.model_validate(
        {
            "id": f"NVIDIA {name}",
            "name": name,
            "memory": memory,
            "secure": True,
            "community": community is not None,
            "price": {"secure": secure, "community": community or 0.0},
            "maxCount": {"secure": most, "community": most if community is not None else 0},
            "availability": best,
            "dataCenters": [{"id": key, "name": key, "availability": level} for key, level in centers.items()],
        }
    )


def cpu(name: str = "cpu3c", *, per_vcpu: float = 0.03, least: int = 2, most: int = 32) -> CpuType:
    return CpuType.model_validate(
        {
            "id": name,
            "name": name,
            "vcpu": {"min": least, "max": most},
            "price": {"securePerVcpu": per_vcpu},
            "availability": "HIGH",
            "dataCenters": [{"id": "EU-1", "name": "EU-1", "availability": "HIGH"}],
        }
    )


def spec(**wishes: Any) -> EnvironmentSpec:
    values: dict[str, Any] = {"image": "img", "gpu": ["any"], **wishes}
    if "cpu" in wishes:
        del values["gpu"]
        values.setdefault("volume", {"kind": "none"})
    return EnvironmentSpec.model_validate(values)
