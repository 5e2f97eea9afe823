/**
 * The vendor's own library (aarch64, 1.5.2) in the built aarch64 binary under qemu-user, as a user
 * without rights: the honest answers of a machine that has no NPU.
 */

import { beforeAll, expect, test } from "bun:test";
import { chmodSync, copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { AARCH64_ENV, asAarch64 } from "../../scripts/dev/emulate.ts";
import { BINARIES } from "../../scripts/dev/project.ts";
import {
  describeOnAarch64,
  findTool,
  skipBecause,
  testWith,
} from "../../scripts/dev/test_tools.ts";
import { NativeError } from "../../ffi/rknn_library.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { demoNetwork } from "../policy/policy_fixture.ts";
import { openIsolated } from "../runtime/isolated.ts";
import { deviceNodes } from "../runtime/rknn_device.ts";
import { doubleLibrary, doubleOf } from "../runtime/rknn_double_fixture.ts";

/** nobody: as root libdrm would make device nodes. */
const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/**
 * Runs the rest where /dev/rknpu is a file that only root may open, in a mount namespace of this
 * command's own.
 */
const WITH_DEVICE = `set -e
mount -t tmpfs tmpfs "$1"
for node in null zero random urandom; do
  touch "$1/$node"
  mount --bind "/dev/$node" "$1/$node"
done
touch "$1/rknpu"
mount --bind /etc/shadow "$1/rknpu"
mount --rbind "$1" /dev
shift
exec "$@"`;

/** On a board the library would find its device, and these answers would be wrong. */
const isBoard = deviceNodes().length > 0;
const onMachineWithout = isBoard
  ? skipBecause("this machine has an NPU")
  : describeOnAarch64("librknnrt");

onMachineWithout("the vendor's library without an NPU", async () => {
  const directory = temporaryDirectory();
  const [library, binary] = [join(directory, "librknnrt.so"), join(directory, "lite3rl")];
  const model = doubleOf(await demoNetwork());
  beforeAll(() => {
    // Where nobody may read them.
    chmodSync(directory, 0o777);
    copyFileSync(findTool("librknnrt") ?? "", library);
    copyFileSync(BINARIES.arm64, binary);
    chmodSync(library, 0o644);
    chmodSync(binary, 0o755);
  });

  const open = (path: string, within: readonly string[] = []) => {
    const emulated = asAarch64(findTool("qemu") ?? "", [...within, binary]);
    const program = process.getuid?.() === 0 ? [...NOBODY, ...emulated] : emulated;
    return openIsolated(model, {
      library: path,
      core: "auto",
      io: "float",
      program,
      env: AARCH64_ENV,
    });
  };

  test("says that there is no driver", async () => {
    const error = await open(library).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(NativeError);
    const { call, status, message } = error as NativeError;
    expect({ call, status, message }).toEqual({
      call: "rknn_init",
      status: -1,
      message:
        "The NPU library's rknn_init gave -1 (FAIL) (it said \"E RKNN: failed to open rknn " +
        'device!"): no NPU driver is loaded, neither /dev/rknpu nor a DRM card of rknpu is on ' +
        "this machine; run on the board, with its rknpu driver loaded: lite3rl doctor",
    });
  }, 120_000);

  test("says that the user may not open the device", async () => {
    const place = join(directory, "dev");
    const within = ["sh", "-c", WITH_DEVICE, "sh", place];
    mkdirSync(place);
    expect(await refusalOf(() => open(library, within))).toEqual({
      code: "NATIVE",
      message:
        "The NPU library's rknn_init gave -1 (FAIL) (it said \"E RKNN: failed to open rknn " +
        'device!"): this user may not open /dev/rknpu; ' +
        "add the user to the group of /dev/rknpu: " +
        "lite3rl doctor --fix prints how",
    });
  }, 120_000);

  testWith("cc")(
    "says that a library is for another machine",
    async () => {
      const foreign = join(directory, "foreign.so");
      copyFileSync(doubleLibrary(), foreign);
      expect(await refusalOf(() => open(foreign))).toEqual({
        code: "NATIVE",
        message:
          `Cannot load the NPU library "${foreign}": it is for x64, but this is arm64, ` +
          "need librknnrt.so for linux-aarch64 and what it is linked to: lite3rl doctor",
      });
    },
    120_000,
  );
});
