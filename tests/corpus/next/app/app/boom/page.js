const classes = { pottery: { room: 3 } };

function room(name) {
  return classes[name].room;
}

export default async function Boom() {
  return <p>{room("welding")}</p>;
}

export const dynamic = "force-dynamic";
