/** The secret input, taken away while modules still load: task-lib's getInput would write it to the debug log. */
export const password = process.env.INPUT_PASSWORD;
delete process.env.INPUT_PASSWORD;
