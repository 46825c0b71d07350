"""Python's loggers as people set them up: the library's own, loguru, structlog on a terminal, in JSON and logfmt."""

import logging
import sys

import structlog


class HiveEmpty(Exception):
    pass


def honey(hives: dict[str, int], name: str) -> float:
    return 12 / hives[name]


def harvest() -> None:
    try:
        honey({"oak": 3}, "elm")
    except KeyError as problem:
        raise HiveEmpty("no hive under the elm") from problem


def standard() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)-8s [%(name)s] %(message)s", level=logging.DEBUG)
    log = logging.getLogger("bees.keeper")
    log.debug("smoke ready")
    log.info("0 errors in the hives")
    log.warning("rain expected\nclose the roofs")
    log.error("the frame broke")
    try:
        harvest()
    except HiveEmpty:
        log.exception("harvest failed")
    log.critical("swarm lost")


def loguru() -> None:
    from loguru import logger

    logger.trace("nobody sees this")
    logger.debug("smoke ready")
    logger.success("honey in the jar")
    logger.warning("rain expected")
    try:
        harvest()
    except HiveEmpty:
        logger.exception("harvest failed")
    logger.info("going on")


def structured(*renderers) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *renderers,
        ],
    )
    log = structlog.get_logger().bind(hive="oak")
    log.debug("smoke ready", puffs=3)
    log.info("inspected", errors=0, queen=True, note='she said "hm"')
    log.warning("rain expected", hours=1.5, roofs=["tin", "straw"])
    log.error("frame broke", frame=None, path="/hives/oak frame 7")
    try:
        harvest()
    except HiveEmpty:
        log.exception("harvest failed", tries=2)
    log.critical("swarm lost")


match sys.argv[1]:
    case "standard":
        standard()
    case "loguru":
        loguru()
    case "console":
        structured(structlog.processors.format_exc_info, structlog.dev.ConsoleRenderer(colors=False))
    case "coloured":
        structured(structlog.dev.ConsoleRenderer(colors=True, exception_formatter=structlog.dev.plain_traceback))
    case "json":
        structured(structlog.processors.format_exc_info, structlog.processors.JSONRenderer())
    case "logfmt":
        structured(
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        )
