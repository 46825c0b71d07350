"""A page that works, one that raises, one that logs at the level it is told."""

import logging

from django.http import HttpRequest, HttpResponse

logger = logging.getLogger("shop")


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("the shop is open\n", content_type="text/plain")


def boom(request: HttpRequest) -> HttpResponse:
    raise ValueError("the till is empty")


def log(request: HttpRequest) -> HttpResponse:
    level = request.GET.get("level", "info").upper()
    logger.log(logging.getLevelName(level), request.GET.get("message", "hello"))
    return HttpResponse("logged\n", content_type="text/plain")
