/** Why a call to Azure DevOps gave nothing that can be used: what was asked for, the cause, what to do about it. */

const RELOAD = "Sign in to Azure DevOps again, then reload this page.";
const LATER = "Read again in a moment; status.dev.azure.com says whether Azure DevOps has an outage.";
const REPORT_IT = "Reload this page. If it happens again, report it with this text.";

export class ServiceError extends Error {
  /** `what` was asked for: a list, or an attachment by its name. */
  constructor(readonly what: string, readonly reason: string, readonly remedy: string) {
    super(`${what}: ${reason}. ${remedy}`);
  }
}

/** Azure DevOps answered with a status that is no answer; `pause` is how long it wants to be left alone, in seconds. */
export function refused(what: string, status: number, pause: number | null): ServiceError {
  if (status === 401) return new ServiceError(what, "Azure DevOps does not accept this page's token (401)", RELOAD);
  if (status === 403) {
    return new ServiceError(what, "you may not read it (403)", "Ask for the permission View builds on the pipeline.");
  }
  if (status === 404) {
    const remedy = "Retention deletes runs and their attachments: retain the runs of your releases.";
    return new ServiceError(what, "Azure DevOps does not have it, or not any more (404)", remedy);
  }
  if (status === 429 || status === 503) {
    const wait = pause === null ? LATER : `Read again in ${pause} s, as Azure DevOps asks.`;
    return new ServiceError(what, `Azure DevOps is busy (${status})`, wait);
  }
  if (status >= 500) return new ServiceError(what, `Azure DevOps failed (${status})`, LATER);
  return new ServiceError(what, `Azure DevOps answered ${status}`, REPORT_IT);
}

/** A page or a redirection in the place of an answer: that is how Azure DevOps asks to sign in. */
export function signInAsked(what: string): ServiceError {
  return new ServiceError(what, "Azure DevOps answered with a page, as it does when the sign-in has expired", RELOAD);
}

/** No answer at all within `seconds`, or no connection. */
export function unanswered(what: string, seconds: number | null): ServiceError {
  const reason = seconds === null ? "Azure DevOps could not be reached" : `Azure DevOps did not answer within ${seconds} s`;
  return new ServiceError(what, reason, "Check the connection (network, proxy, VPN), then read again.");
}

/** The answer ended early, or is not packed as it says. */
export function brokenOff(what: string): ServiceError {
  return new ServiceError(what, "the answer broke off or can't be unpacked", "Read again; a proxy in between may cut long answers.");
}

export function tooLarge(what: string): ServiceError {
  return new ServiceError(what, "it is too large for this page", "Read it with kspsign report, or as the page of --html.");
}

export function notJson(what: string): ServiceError {
  return new ServiceError(what, "the answer is not JSON", "Read again; a proxy in between may have answered instead.");
}

/** JSON, but not what Azure DevOps answers to this call; `part` is the part that is wrong. */
export function otherShape(what: string, part: string): ServiceError {
  return new ServiceError(what, `the answer has another form: ${part}`, REPORT_IT);
}

/** Any error as one with words; `what` was being read. */
export function faultOf(error: unknown, what: string): ServiceError {
  if (error instanceof ServiceError) return error;
  return new ServiceError(what, `unexpected: ${error instanceof Error ? error.message : String(error)}`, REPORT_IT);
}
