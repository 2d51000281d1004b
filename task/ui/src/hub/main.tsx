/** The hub "Signing" of a project: signatures over time. */
import { Guarded } from "../view/Guarded";
import { startPage } from "../view/start";
import { SigningHub } from "./SigningHub";

startPage((root, host) => { root.render(<Guarded what="The builds"><SigningHub host={host} /></Guarded>); });
