/** Says so where a report has a value that nothing here can draw, in the place of an empty page. */
import { Component, type ReactNode } from "react";
import { Problem } from "./Problem";

export class Guarded extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError(): { broken: boolean } {
    return { broken: true };
  }

  override render(): ReactNode {
    if (!this.state.broken) return this.props.children;
    return <Problem title="The report can't be shown" text="It has values that no version of kspsign writes: nothing of it is known to be right." />;
  }
}
