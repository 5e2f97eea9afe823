import { expect, test } from "bun:test";
import { LITE3_CONTRACT } from "../policy/contract.ts";
import { groundHeight, lite3Mjcf } from "./lite3_model.ts";
import { loadMujoco } from "./mujoco.ts";

test("lite3Mjcf() has the mass of the Lite3 and its joints in order", async () => {
  const mujoco = await loadMujoco();
  const model = mujoco.MjModel.from_xml_string(lite3Mjcf({ terrain: { kind: "flat" } }))!;
  const mass = (model.body_mass as Float64Array).reduce((sum, kg) => sum + kg, 0);
  const joints = LITE3_CONTRACT.joints.map((name) => {
    const index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT.value, name);
    const range = (model.jnt_range as Float64Array).subarray(2 * index, 2 * index + 2);
    return { index, range: [...range], qposAddress: (model.jnt_qposadr as Int32Array)[index] };
  });
  const leg = [
    [-0.523, 0.523],
    [-2.67, 0.314],
    [0.524, 2.792],
  ];
  const expected = LITE3_CONTRACT.joints.map((_, joint) => {
    return { index: joint + 1, range: leg[joint % 3]!, qposAddress: joint + 7 };
  });
  model.delete();
  expect(mass).toBeCloseTo(11.9376, 9);
  expect(joints).toEqual(expected);
});

test("groundHeight() is the step's height from the edge on", () => {
  const step = { kind: "step", heightM: 0.1 } as const;
  expect([0.99, 1, 50].map((x) => groundHeight(step, x))).toEqual([0, 0.1, 0.1]);
  expect(groundHeight({ kind: "flat" }, 50)).toBe(0);
});

test("lite3Mjcf() has the step where groundHeight() says it is", async () => {
  const mujoco = await loadMujoco();
  const terrain = { kind: "step", heightM: 0.1 } as const;
  const model = mujoco.MjModel.from_xml_string(lite3Mjcf({ terrain }))!;
  const [x, , z] = (model.geom_pos as Float64Array).subarray(3, 6);
  const [halfX, , halfZ] = (model.geom_size as Float64Array).subarray(3, 6);
  model.delete();
  expect([x! - halfX!, z! - halfZ!, z! + halfZ!]).toEqual([1, 0, 0.1]);
});
