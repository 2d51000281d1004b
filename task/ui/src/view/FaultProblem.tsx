/** Why Azure DevOps gave nothing to show: what was asked for, the cause, what to do. */
import type { ServiceError } from "../service/faults";
import { clipped } from "../text/visible";

export function FaultProblem({ title, faults }: { title: string; faults: readonly ServiceError[] }) {
  return (
    <div className="problem" role="alert">
      <h1>{title}</h1>
      {faults.map((fault, index) => (
        <p key={index}>
          <bdi>{clipped(fault.what)}</bdi>: <bdi>{clipped(fault.reason)}</bdi>.<br />
          <strong>Remedy:</strong> {fault.remedy}
        </p>
      ))}
    </div>
  );
}
