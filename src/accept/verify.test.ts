/**
 * `accept verify`: an archive that is whole, and every way in which one is not.
 */

import { beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as v from "valibot";
import { AARCH64_ENV, asAarch64 } from "../../scripts/dev/emulate.ts";
import { BINARIES, run as runBinary } from "../../scripts/dev/project.ts";
import { describeOnAarch64, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { failed, run, runJson } from "../cli/program_fixture.ts";
import { encodeTar } from "../formats/tar.ts";
import {
  type AcceptDocument,
  acceptDocumentSchema,
  type Measured,
} from "../report/accept_document.ts";
import { ABOUT, MEASURED } from "../report/accept_report_fixture.ts";
import { runStep } from "../run_log/run_step_fixture.ts";
import { openRunLog } from "../run_log/write_run_log.ts";
import {
  archiveName,
  describeMembers,
  digestsOf,
  DIGESTS,
  documentText,
  encodeArchive,
  type Members,
  parseArchive,
} from "./archive.ts";
import { gaitOfLog } from "./gait_log.ts";
import { judgeAcceptance } from "./judge.ts";
import { ACCEPT_LIMITS } from "./limits.ts";
import { verifyArchive } from "./verify.ts";

const directory = temporaryDirectory();
/** The gait of the fixture's steps is no robot's: what is held here is the archive. */
const gait = Object.fromEntries(
  Object.keys(ACCEPT_LIMITS.gait).map((name) => [name, name === "height_min_m" ? 0 : 1e6]),
);
const LIMITS = { ...ACCEPT_LIMITS, gait: gait as typeof ACCEPT_LIMITS.gait };
const logPath = join(directory, "run.mcap");
let document: AcceptDocument;
let whole: Uint8Array;

beforeAll(async () => {
  const log = await openRunLog(logPath, { massKg: "12" }, 0n);
  for (let n = 1; n <= 300; n++) await log.step(runStep(n));
  await log.end();
  const measured = { ...MEASURED, gait: { ...MEASURED.gait, ...gaitOfLog(logPath) } } as Measured;
  const judged = judgeAcceptance(measured, LIMITS, []);
  document = v.parse(acceptDocumentSchema, {
    ...ABOUT,
    ...judged,
    measured,
    limits: LIMITS,
    allowMissing: [],
    members: describeMembers(members()),
  });
  whole = encodeArchive(document, members());
});

const members = (): Members => ({ serviceLog: "READY\n", runLog: readFileSync(logPath) });
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function write(name: string, content: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

/** What verifying says against an archive. */
async function problemsOf(archive: Uint8Array): Promise<readonly string[]> {
  const { checks, sound } = await verifyArchive(write("changed.tar.gz", archive));
  const bad = checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);
  expect(sound).toBe(bad.length === 0);
  return bad;
}

type Edit = (files: Map<string, Uint8Array>) => void;

/** The archive with its files changed; with `again`, its digests written anew. */
function edited(edit: Edit, again?: "again"): Uint8Array {
  const files = new Map(parseArchive(whole));
  edit(files);
  if (again !== undefined) files.set(DIGESTS, bytes(digestsOf(files)));
  return gzipSync(encodeTar(files));
}

/** The archive with another document, and digests and page of that one. */
function rewritten(change: (document: AcceptDocument) => void): Uint8Array {
  const other = structuredClone(document);
  change(other);
  return encodeArchive(v.parse(acceptDocumentSchema, other), members());
}

describe("verifyArchive()", () => {
  test("takes what encodeArchive() wrote, which are the same bytes each time", async () => {
    expect(encodeArchive(document, members())).toEqual(whole as Uint8Array<ArrayBuffer>);
    expect(await problemsOf(whole)).toEqual([]);
    expect([...parseArchive(whole).keys()]).toEqual([
      "report.json",
      "report.html",
      "run.mcap",
      "service.log",
      "SHA256SUMS",
    ]);
    expect(archiveName(document)).toBe("acceptance-0.1.0-20260901T123305Z.tar.gz");
  });

  test("names a file that was changed, is gone, or was added", async () => {
    const changed = edited((files) => files.set("service.log", bytes("READY!\n")));
    const gone = edited((files) => files.delete("service.log"));
    const added = edited((files) => files.set("notes.txt", bytes("all is well")));
    const addedAgain = edited((files) => files.set("notes.txt", bytes("all is well")), "again");
    const unlisted = edited((files) => files.delete("SHA256SUMS"));
    expect([
      await problemsOf(changed),
      await problemsOf(gone),
      await problemsOf(added),
      await problemsOf(addedAgain),
      (await problemsOf(unlisted)).at(-1),
    ]).toEqual([
      [
        expect.stringMatching(/^service\.log: sha256 is \w{12}…, SHA256SUMS says \w{12}…$/),
        "files: service.log is not the one of report.json",
      ],
      ["service.log: SHA256SUMS lists it, and it is missing", "files: service.log is missing"],
      ["notes.txt: SHA256SUMS does not list it", 'files: "notes.txt" was added'],
      ['files: "notes.txt" was added'],
      "files: SHA256SUMS is missing",
    ]);
  });

  test("binds the service's log and the run's to the document", async () => {
    const log = edited((files) => files.set("service.log", bytes("READY!\n")), "again");
    expect(await problemsOf(log)).toEqual(["files: service.log is not the one of report.json"]);
  });

  test("finds a verdict that does not follow from the figures", async () => {
    expect(document.verdict).toBe("INCOMPLETE");
    const verdict = rewritten((other) => (other.verdict = "PASS"));
    const figure = rewritten((other) => {
      const { power } = other.measured;
      if (power.state === "measured") power.load.meanW = 20;
    });
    const limit = rewritten((other) => (other.limits.power_w = 7));
    const row = rewritten((other) => Object.assign(other.rows[4] as object, { state: "pass" }));
    const wrong = (says: string, follows: string, what: string) => [
      `verdict: the document says ${says}, its figures and limits ${follows} (${what} differ)`,
    ];
    expect([
      await problemsOf(verdict),
      await problemsOf(figure),
      await problemsOf(limit),
      await problemsOf(row),
    ]).toEqual([
      wrong("PASS", "INCOMPLETE", "verdict"),
      wrong("INCOMPLETE", "FAIL", "rows, verdict, reasons"),
      wrong("INCOMPLETE", "FAIL", "rows, verdict, reasons"),
      wrong("INCOMPLETE", "INCOMPLETE", "rows"),
    ]);
  });

  test("finds a gait whose figures are not those of its log", async () => {
    const measured = structuredClone(document.measured);
    if (measured.gait.state !== "measured") throw new Error("the gait was measured");
    measured.gait.figures.durationS = 600;
    const judged = judgeAcceptance(measured, LIMITS, []);
    const long = rewritten((other) => Object.assign(other, { measured, ...judged }));
    const noLog = edited((files) => files.delete("run.mcap"), "again");
    const noMcap = edited((files) => files.set("run.mcap", bytes("mcap")), "again");
    expect([await problemsOf(long), await problemsOf(noLog), await problemsOf(noMcap)]).toEqual([
      ["gait: figures.durationS is not what run.mcap says"],
      ["files: run.mcap is missing", "gait: there is no run.mcap of its figures"],
      [
        "files: run.mcap is not the one of report.json",
        expect.stringMatching(/^gait: run\.mcap: it (?:is no sound MCAP|has no steps)/),
      ],
    ]);
  });

  test("finds a page of another document, and a document that is none", async () => {
    const page = edited((files) => files.set("report.html", bytes("<h1>Passed</h1>")), "again");
    const text = documentText(document);
    const spaced = edited((files) => files.set("report.json", bytes(` ${text}`)), "again");
    const broken = edited((files) => files.set("report.json", bytes("{}")), "again");
    const more = text.replace("{", '{ "more": 1,');
    const extended = edited((files) => files.set("report.json", bytes(more)), "again");
    expect([
      await problemsOf(page),
      await problemsOf(spaced),
      await problemsOf(broken),
      await problemsOf(extended),
    ]).toEqual([
      ["page: it is not the page of this document"],
      ["report.json: it was written by hand"],
      ["report.json: it is not what its schema says"],
      ["report.json: it is not what its schema says"],
    ]);
  });

  test("refuses by name what is cut off, no archive, or a bomb", async () => {
    const refuse = (name: string, content: Uint8Array) => {
      return refusalOf(() => verifyArchive(write(name, content)));
    };
    const other = gzipSync(encodeTar(new Map([["a", bytes("b")]])));
    const linked = Buffer.from(encodeTar(parseArchive(whole)));
    linked.write("2", 156);
    const later = Buffer.from(encodeTar(parseArchive(whole)));
    later.write("00000000001", 136);
    const bomb = gzipSync(Buffer.alloc((512 << 20) + 512), { level: 1 });
    const found = [
      await refuse("cut.tar.gz", whole.subarray(0, whole.length - 100)),
      await refuse("text.tar.gz", bytes("no archive")),
      await refuse("other.tar.gz", other),
      await refuse("link.tar.gz", gzipSync(linked)),
      await refuse("later.tar.gz", gzipSync(later)),
      await refuse("bomb.tar.gz", bomb),
    ];
    const unlike = 'the header of "report.json" is not as lite3rl writes it';
    const again = "; only the bytes that accept wrote verify, not an archive packed again";
    expect(found.map(({ code, message }) => [code, message.replace(`${directory}/`, "")])).toEqual([
      ["MALFORMED", 'Cannot verify "cut.tar.gz": it is no whole gzip: unexpected end of file'],
      ["MALFORMED", 'Cannot verify "text.tar.gz": it is no whole gzip: incorrect header check'],
      [
        "MALFORMED",
        'Cannot verify "other.tar.gz": it has no report.json, need an archive that lite3rl ' +
          "accept wrote",
      ],
      [
        "MALFORMED",
        'Cannot verify "link.tar.gz": "report.json" is a symbolic link, need a file' + again,
      ],
      ["MALFORMED", `Cannot verify "later.tar.gz": ${unlike}${again}`],
      ["TOO_LARGE", 'Cannot verify "bomb.tar.gz": it unpacks to more than 536870912 bytes'],
    ]);
  });
});

describe("accept verify", () => {
  test("exits with 0 for a whole archive, whatever its verdict, else with 1", async () => {
    const path = write("whole.tar.gz", whole);
    const sound = await runJson(["accept", "verify", path]);
    expect([sound.status, sound.json]).toMatchObject([
      0,
      { archive: path, sound: true, verdict: "INCOMPLETE" },
    ]);
    const bad = write(
      "bad.tar.gz",
      edited((files) => files.delete("service.log")),
    );
    const { status, stderr, stdout } = await run(["accept", "verify", bad]);
    expect([status, stderr, stdout.trimEnd().split("\n").at(-1)]).toEqual([
      1,
      `failed: ${bad} is not sound: service.log: SHA256SUMS lists it, and it is missing; ` +
        "files: service.log is missing\n",
      "NOT sound: its verdict counts for nothing",
    ]);
  });

  test("refuses other words", async () => {
    const refused = failed(
      2,
      'Unknown action "check x" for accept: need verify ARCHIVE, or --model policy.rknn alone',
    );
    expect(await run(["accept", "check", "x"])).toEqual(refused);
  });
});

describeOnAarch64()("accept verify on aarch64", () => {
  test("finds the figures of an archive that was made here, to rounding", () => {
    const path = write("here.tar.gz", whole);
    const command = [BINARIES.arm64, "accept", "verify", path, "--json"];
    const words = process.arch === "arm64" ? command : asAarch64(findTool("qemu") ?? "", command);
    const { status, stdout } = runBinary(words, { env: AARCH64_ENV });
    expect([status, JSON.parse(stdout)]).toMatchObject([0, { sound: true }]);
  }, 60_000);
});
