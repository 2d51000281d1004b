/** The page of --html: shows the report, or the comparison of `kspsign reconcile`, that the page itself holds. */
import { createRoot } from "react-dom/client";
import { ComparisonView } from "../comparison/ComparisonView";
import { NotAReportError } from "../report/read";
import { followSystemTheme } from "../view/theme";
import { Guarded } from "../view/Guarded";
import { ReportView } from "../view/ReportView";
import { Problem } from "../view/Problem";
import { readData } from "./data";

followSystemTheme();
const holder = document.getElementById("report");
const target = document.getElementById("app");
if (holder && target) {
  const root = createRoot(target);
  readData(holder.textContent).then(
    (data) => {
      if ("comparison" in data) {
        document.title = "Uses of the key - kspsign";
        root.render(<Guarded what="The comparison"><ComparisonView comparison={data.comparison} /></Guarded>);
      } else {
        root.render(<Guarded><ReportView report={data.report} now={Date.now()} /></Guarded>);
      }
    },
    (error: unknown) => {
      const cause = error instanceof NotAReportError ? error.message : "it is damaged";
      root.render(<Problem title="The report can't be shown" text={`${cause}. Write the page again: kspsign report FILE --html PAGE, or kspsign reconcile.`} />);
    },
  );
}
