import net from "node:net";

function ring(port) {
  return new Promise((resolve, reject) => {
    net.connect(port, "127.0.0.1").on("connect", resolve).on("error", reject);
  });
}

export default async function Cause() {
  try {
    await ring(process.env.CARETAKER_PORT);
  } catch (cause) {
    const problem = new Error("the caretaker does not answer", { cause });
    throw Object.assign(problem, { code: "E_CARETAKER" });
  }
  return <p>open</p>;
}

export const dynamic = "force-dynamic";
