/**
 * What the supervisor is told when the service starts.
 */

import type { OpenCommand } from "../service/control.ts";
import type { ModelFiles } from "./model_files.ts";

/** How an engine opens whatever files it is given. */
export type EngineOptions = Omit<
  OpenCommand,
  "type" | "generation" | "isRestart" | "fallbackOnly" | keyof ModelFiles | "probe"
>;

export interface SupervisorSettings {
  readonly files: ModelFiles;
  readonly options: EngineOptions;
  readonly inferTimeoutMs: number;
  readonly restartsMax: number;
  readonly spare: boolean;
  readonly watch: boolean;
}
