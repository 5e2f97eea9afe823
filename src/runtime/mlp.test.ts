import { demoNetwork, modelOf } from "../policy/policy_fixture.ts";
import { runBackendSuite } from "./backend_suite.ts";
import { openMlp } from "./mlp.ts";
runBackendSuite("mlp", async () => openMlp(modelOf(await demoNetwork())), { tolerance: 1e-5 });
