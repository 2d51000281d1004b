/** Says so where something has a value that nothing here can draw, in the place of an empty page. */
import { Component, type ReactNode } from "react";
import { Problem } from "./Problem";

interface Properties {
  children: ReactNode;
  /** What is shown inside, as the title names it. */
  what?: string;
}

export class Guarded extends Component<Properties, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError(): { broken: boolean } {
    return { broken: true };
  }

  override render(): ReactNode {
    if (!this.state.broken) return this.props.children;
    const { what = "The report" } = this.props;
    return <Problem title={`${what} can't be shown`} text="There are values that no version of kspsign writes: nothing of it is known to be right." />;
  }
}
