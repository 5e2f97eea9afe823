/** The binary's entry: user arguments in, exit status out. */

import { main } from "./cli/app.ts";

process.exitCode = await main(process.argv.slice(2));
