import logging
import warnings

from django.http import HttpRequest, HttpResponse

from shop.models import Order

log = logging.getLogger(__name__)
PRICES = {"tea": 3, "cake": 5}


class OrderRejected(Exception):
    pass


def price(item: str) -> int:
    return PRICES[item]


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("open\n")


def boom(request: HttpRequest) -> HttpResponse:
    return HttpResponse(price("tea") / (price("cake") - 5))


def chained(request: HttpRequest) -> HttpResponse:
    try:
        price("coffee")
    except KeyError as problem:
        raise OrderRejected("no such item:\n  coffee\nask the kitchen") from problem
    return HttpResponse()


def context(request: HttpRequest) -> HttpResponse:
    try:
        price("coffee")
    except KeyError:
        return HttpResponse(int("free"))


def group(request: HttpRequest) -> HttpResponse:
    problems: list[Exception] = []
    for item, amount in (("coffee", "1"), ("tea", "two")):
        try:
            price(item) * int(amount)
        except (KeyError, ValueError) as problem:
            problem.add_note(f"while pricing {item}")
            problems.append(problem)
    raise ExceptionGroup("basket is wrong", problems)


def deep(request: HttpRequest, level: int = 0) -> HttpResponse:
    return deep(request, level + 1)


def noisy(request: HttpRequest) -> HttpResponse:
    print("served a noisy page, no error at all")
    print('{"item": "tea", "left": 2}')
    log.info("nobody sees this, the default level is warning")
    log.warning("only %d teas left", 2)
    log.error("the printer is out of paper")
    try:
        price("coffee")
    except KeyError:
        log.exception("could not price the basket")
    warnings.warn("tea will be renamed", FutureWarning, stacklevel=1)
    return HttpResponse("noisy\n")


def orders(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(Order.objects.count()))
