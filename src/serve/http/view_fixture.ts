/**
 * A service to look at without one: a real page of an engine, which the test fills.
 */

import { closeSync } from "node:fs";
import { demoNames } from "../../policy/policy_fixture.ts";
