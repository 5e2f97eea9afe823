"""The Lite3 as numbers: what the policy sees and commands (the contract), and a MuJoCo model of it.

The figures are those published by the robot's maker (DeepRoboticsLab: rl_training and
deep_robotics_model); the model is written here from primitives and uses no mesh or file of theirs.
Joints are ordered leg by leg (FL, FR, HL, HR), and in each leg HipX, HipY, Knee.
"""

import numpy as np

LEGS = ("FL", "FR", "HL", "HR")
JOINTS = ("HipX", "HipY", "Knee")

# ------------------------------------------------------------------------------------ contract
OBSERVATION_SIZE = 45
ACTION_SIZE = 12
DEFAULT_POSE = np.array([0.0, -0.65, 1.3] * 4)  # rad
ACTION_SCALE = np.array([0.125, 0.25, 0.25] * 4)  # rad per unit: target = pose + scale * action
STIFFNESS = 30.0  # kp, Nm/rad
DAMPING = 1.0  # kd, Nm s/rad
ANGULAR_VELOCITY_SCALE = 0.25  # in the observation, per rad/s
JOINT_SPEED_SCALE = 0.05  # in the observation, per rad/s

# ------------------------------------------------------------------------------------ model
PHYSICS_STEP_S = 0.005
EFFORT_LIMIT = (24, 24, 36)  # Nm, per joint of a leg
FOOT_RADIUS = 0.022  # m
HIP_CENTRE_OF_MASS = {
    "FL": "-.00601 -.0066532 .00034295",
    "FR": "-.010579 .011358 .00048546",
    "HL": ".010905 -.012636 .001051",
    "HR": ".010354 .011423 .00049498",
}
# the published table has the first and third moment of the right front hip swapped
HIP_INERTIA = {leg: ".0003949 .0004028 .0004472" for leg in LEGS}
HIP_INERTIA["FR"] = ".0004472 .0004028 .0003949"


def leg_xml(leg: str) -> str:
    """One leg's bodies, in m, kg and kg m². Only the foot has a shape: nothing else collides."""
    front, left = (1 if leg[0] == "F" else -1), (1 if leg[1] == "L" else -1)
    return f"""
<body name="{leg}_HIP" pos="{front * 0.1745} {left * 0.062} 0">
 <joint name="{leg}_HipX_joint" axis="-1 0 0" range="-.523 .523"/>
 <inertial pos="{HIP_CENTRE_OF_MASS[leg]}" mass=".55" diaginertia="{HIP_INERTIA[leg]}"/>
 <body name="{leg}_THIGH" pos="0 {left * 0.09735} 0">
  <joint name="{leg}_HipY_joint" axis="0 -1 0" range="-2.67 .314"/>
  <inertial pos="-.0039245 {-left * 0.014632} -.025146" mass=".86"
            diaginertia=".005736 .00496 .001436"/>
  <body name="{leg}_SHANK" pos="0 0 -.2">
   <joint name="{leg}_Knee_joint" axis="0 -1 0" range=".524 2.792"/>
   <inertial pos=".0064794 0 -.12157" mass=".153" diaginertia=".00089039 .00090672 .000031266"/>
   <body name="{leg}_FOOT" pos="0 0 -.21012">
    <inertial pos="0 0 0" mass=".02" diaginertia="4e-6 4e-6 4e-6"/>
    <geom name="{leg}_foot" type="sphere" size="{FOOT_RADIUS}"/>
    <site name="{leg}_site" size=".025"/>
   </body>
  </body>
 </body>
</body>"""


def actuator_xml(leg: str, joint: str, effort: float) -> str:
    """A joint servo: torque (Nm) = control - kp q - kd dq, clipped; control is kp * target."""
    return (
        f'<general joint="{leg}_{joint}_joint" gaintype="fixed" gainprm="1" biastype="affine" '
        f'biasprm="0 {-STIFFNESS} {-DAMPING}" forcerange="-{effort} {effort}"/>'
    )


def lite3_xml() -> str:
    """The whole model as MJCF. Sensors: 4 foot forces (N), 4 × 3 foot positions (m) and velocities
    (m/s) in the world frame, each group in leg order."""
    legs = "".join(leg_xml(leg) for leg in LEGS)
    actuators = "".join(
        actuator_xml(leg, joint, effort)
        for leg in LEGS
        for joint, effort in zip(JOINTS, EFFORT_LIMIT, strict=True)
    )
    sensors = "".join(f'<touch site="{leg}_site"/>' for leg in LEGS)
    for kind in ("framepos", "framelinvel"):
        sensors += "".join(f'<{kind} objtype="site" objname="{leg}_site"/>' for leg in LEGS)
    return f"""
<mujoco model="Lite3">
<compiler angle="radian" autolimits="true"/>
<option timestep="{PHYSICS_STEP_S}" integrator="implicitfast" cone="pyramidal"/>
<default>
 <geom condim="3" contype="0" conaffinity="1" friction="1 .01 .01" solref=".005 1"/>
 <joint type="hinge"/>
</default>
<worldbody>
<geom name="floor" type="plane" size="100 100 .1" contype="1" friction="1 .005 .0001"
      solref=".02 1"/>
<body name="TORSO" pos="0 0 .4">
 <freejoint/>
 <inertial pos="0 0 0" mass="5.6056" diaginertia=".02456 .05518 .07016"/>{legs}
</body>
</worldbody>
<actuator>{actuators}</actuator>
<sensor>{sensors}</sensor>
</mujoco>"""


# ------------------------------------------------------------------------------------ observation
def rotation_matrices(quaternions: np.ndarray) -> np.ndarray:
    """Unit quaternions wxyz [n, 4] to matrices [n, 3, 3] that turn body vectors to the world."""
    w, x, y, z = quaternions.T
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return np.stack(entries, 1).reshape(-1, 3, 3)


def body_motion(qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The base's velocity (m/s) and gravity's direction (unit), both [n, 3] in the body frame."""
    rotations = rotation_matrices(qpos[:, 3:7])
    return np.einsum("nij,ni->nj", rotations, qvel[:, :3]), -rotations[:, 2, :]


def observe(
    qpos: np.ndarray,
    qvel: np.ndarray,
    command: np.ndarray,
    last_action: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """What the policy sees, float32 [n, 45], before normalisation and with sensor noise.

    qpos [n, 19] and qvel [n, 18] are MuJoCo's; command [n, 3] is vx, vy (m/s) and wz (rad/s);
    last_action [n, 12] is the policy's previous output. The noise is uniform: ±0.2 rad/s of body
    rate, ±0.05 of gravity, ±0.01 rad of joint angle, ±1.5 rad/s of joint speed.
    """

    def noisy(values: np.ndarray, amplitude: float) -> np.ndarray:
        return values + amplitude * random.uniform(-1, 1, values.shape)

    _, gravity = body_motion(qpos, qvel)
    terms = [
        noisy(qvel[:, 3:6], 0.2) * ANGULAR_VELOCITY_SCALE,
        noisy(gravity, 0.05),
        command,
        noisy(qpos[:, 7:], 0.01) - DEFAULT_POSE,
        noisy(qvel[:, 6:], 1.5) * JOINT_SPEED_SCALE,
        last_action,
    ]
    return np.concatenate(terms, 1).astype(np.float32)
