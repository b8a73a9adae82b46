"""HTTP: typed routes, problem documents, limits, the OpenAPI document, and the pages that people see."""

from clarion.api.application import build_http
from clarion.api.guards import as_local
from clarion.api.routes.health import Readiness

__all__ = ["Readiness", "as_local", "build_http"]
