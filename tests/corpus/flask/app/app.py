import logging

from flask import Flask, abort, request

app = Flask(__name__)
STOCK = {"red": 4, "blue": 0}


class PaintMissing(RuntimeError):
    pass


def per_bucket(colour: str) -> float:
    return 100 / STOCK[colour]


@app.get("/")
def index():
    return "painted"


@app.get("/boom")
def boom():
    return str(per_bucket("blue"))


@app.get("/chained")
def chained():
    try:
        return str(per_bucket("green"))
    except KeyError as problem:
        raise PaintMissing("green") from problem


@app.get("/group")
def group():
    problems = []
    for colour in ("blue", "green"):
        try:
            per_bucket(colour)
        except (ArithmeticError, LookupError) as problem:
            problems.append(problem)
    raise ExceptionGroup("two buckets", [problems[0], ExceptionGroup("inner", problems[1:])])


@app.get("/teapot")
def teapot():
    abort(418)


@app.get("/logged")
def logged():
    app.logger.debug("asked by %s", request.remote_addr)
    app.logger.info("stock is %s", STOCK)
    app.logger.warning("blue is sold out\norder more of it")
    app.logger.critical("the warehouse burns")
    logging.getLogger("werkzeug").info("a line of another logger")
    return "logged"
