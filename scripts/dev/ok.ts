/** `bun run ok`: the quick gate before a commit: types, format, lint, and tests without tools. */

import { ROOT, show } from "./project.ts";

export default async function ok(): Promise<number> {
  const steps = [
    ["check"],
    ["fmt", "--check"],
    ["node_modules/.bin/oxlint"],
    ["test", "--timeout=60000", "src", "ffi", "scripts/dev/tidy.test.ts"],
  ];
  for (const step of steps) {
    const status = await show([process.execPath, ...step], ROOT);
    if (status !== 0) return status;
  }
  return 0;
}
