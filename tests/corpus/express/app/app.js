import net from "node:net";
import express from "express";
import morgan from "morgan";

const app = express();
app.use(morgan(process.env.MORGAN_FORMAT ?? "dev"));

class ParcelLost extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "ParcelLost";
  }
}

function dial(port) {
  return new Promise((resolve, reject) => {
    net.connect(port, "127.0.0.1").on("connect", resolve).on("error", reject);
  });
}

async function track(number) {
  try {
    await dial(process.env.DEPOT_PORT);
  } catch (cause) {
    const problem = new ParcelLost(`parcel ${number} cannot be tracked`, { cause });
    throw Object.assign(problem, { code: "E_LOST", parcel: { number, stops: ["Rome", "Bern"] } });
  }
}

app.get("/", (request, response) => response.send("posted\n"));
app.get("/cached", (request, response) => response.status(304).end());
app.get("/moved", (request, response) => response.redirect("/"));
app.get("/boom", (request, response) => response.send(request.parcel.weight));
app.get("/cause", async (request, response) => {
  try {
    await track(17);
  } catch (problem) {
    console.error("tracking failed:", problem);
    response.status(502).send("no answer\n");
  }
});
app.get("/several", async (request, response) => {
  try {
    await Promise.any([dial(process.env.DEPOT_PORT), Promise.reject(new RangeError("no second depot"))]);
  } catch (problem) {
    console.error(problem);
    response.status(503).send("nobody there\n");
  }
});
app.get("/levels", (request, response) => {
  console.debug("a line of console.debug");
  console.info("a line of console.info");
  console.log({ parcels: 2, error: null, depots: [{ name: "Rome", open: true }, { name: "Bern", open: false }], since: new Date(0) });
  console.warn("a line of console.warn");
  console.error("a line of console.error");
  console.trace("where am I");
  process.emitWarning("parcels will be renamed", "DeprecationWarning", "POST001");
  response.send("told\n");
});
app.get("/rejected", (request, response) => {
  response.send("soon\n");
  Promise.reject(new ParcelLost("nobody waits for this one", { cause: "a string" }));
});

const port = Number(process.env.PORT);
app.listen(port, "127.0.0.1", (problem) => {
  if (problem) throw problem;
  console.log(`Post office listening on http://127.0.0.1:${port}`);
});
