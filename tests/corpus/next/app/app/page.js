export default function Home() {
  return <h1>Evening classes</h1>;
}
