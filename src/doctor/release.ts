/** Version numbers as vendors write them: `v0.9.6`, `5.10.160-rockchip`, `2.3.1-source_code`. */

export interface Release {
  /** The three numbers, `5.10.160`. */
  readonly text: string;
  /** Whether it is `other` or later. */
  isAtLeast(other: string): boolean;
}

/** The first version in a text; undefined where there is none. */
export function parseRelease(text: string | undefined): Release | undefined {
  const found = /(\d+)\.(\d+)(?:\.(\d+))?/.exec(text ?? "");
  if (found === null) return undefined;
  const [, major = "0", minor = "0", patch = "0"] = found;
  const plain = [major, minor, patch].map(Number).join(".");
  return { text: plain, isAtLeast: (other) => Bun.semver.order(plain, other) >= 0 };
}
