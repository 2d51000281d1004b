/** Why there is nothing to see, and what to do. */
export function Problem({ title, text, remedy }: { title: string; text: string; remedy?: string }) {
  return (
    <div className="problem" role="alert">
      <h1>{title}</h1>
      <p>{text}</p>
      {remedy && <p><strong>Remedy:</strong> {remedy}</p>}
    </div>
  );
}
