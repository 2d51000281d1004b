/** Why there is nothing to see, and what to do. */
export function Problem({ title, text }: { title: string; text: string }) {
  return (
    <div className="problem" role="alert">
      <h1>{title}</h1>
      <p>{text}</p>
    </div>
  );
}
