"""HTTP: typed routes, problem documents, limits, the OpenAPI document, and the pages that people see."""

from clarion.api.application import build_http
from clarion.api.guards import as_local
from clarion.api.limits import RateLimits
from clarion.api.routes.health import Readiness
from clarion.api.shared_limits import SharedLimits

__all__ = ["RateLimits", "Readiness", "SharedLimits", "as_local", "build_http"]
