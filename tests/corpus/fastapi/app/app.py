import asyncio
import logging
import os
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI, HTTPException

log = logging.getLogger("uvicorn.error")
SEATS = {"front": 2, "back": 0}


class TrainFull(Exception):
    pass


@asynccontextmanager
async def lifespan(app: FastAPI):
    if os.environ.get("NO_ENGINE"):
        raise RuntimeError("the engine does not start")
    yield


app = FastAPI(lifespan=lifespan)


def share(wagon: str) -> float:
    return 1 / SEATS[wagon]


@app.get("/")
async def index():
    return {"train": "waiting"}


@app.get("/seats/{count}")
async def seats(count: int):
    raise HTTPException(404, "no such seat")


@app.get("/boom")
async def boom():
    return share("back")


@app.get("/chained")
async def chained():
    try:
        return share("roof")
    except KeyError as problem:
        raise TrainFull("nobody rides on the roof") from problem


async def ride(wagon: str) -> float:
    await asyncio.sleep(0)
    return share(wagon)


@app.get("/group")
async def group():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ride("back"))
        tasks.create_task(ride("roof"))


def announce(wagon: str) -> None:
    log.warning("announcing %s", wagon)
    share(wagon)


@app.post("/announce")
async def later(tasks: BackgroundTasks):
    tasks.add_task(announce, "back")
    return "soon"


@app.get("/forgotten")
async def forgotten():
    asyncio.get_running_loop().create_task(ride("back"), name="ride")
    return "gone"
