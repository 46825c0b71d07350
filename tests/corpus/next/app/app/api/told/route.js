export async function GET() {
  console.log("a line of console.log");
  console.warn("a line of console.warn");
  console.error("a line of console.error");
  return Response.json({ told: true }, { status: 201 });
}
