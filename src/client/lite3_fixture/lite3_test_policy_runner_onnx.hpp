// For tests: in the place of the vendor's runner, which the fallback is. It commands the pose
// (0.125, -0.4, 1.55) of each leg, throws when the command is (1, 1, 1), and has no joints when it
// is (-1, -1, -1).
#pragma once
#include <stdexcept>

#include "policy_runner_base.hpp"

class Lite3TestPolicyRunnerONNX : public PolicyRunnerBase {
 public:
  explicit Lite3TestPolicyRunnerONNX(std::string policy_name) : PolicyRunnerBase(policy_name) {}
  void DisplayPolicyInfo() override {}
  void OnEnter() override { run_cnt_ = 0; }
  RobotAction GetRobotAction(const RobotBasicState& state) override {
    if (state.cmd_vel_normlized.sum() == 3.f) throw std::runtime_error("no model");
    const int joints = state.cmd_vel_normlized.sum() == -3.f ? 0 : 12;
    RobotAction action;
    action.goal_joint_pos = Vec3f(0.125f, -0.4f, 1.55f).replicate(joints / 3, 1);
    action.goal_joint_vel = action.tau_ff = VecXf::Zero(joints);
    action.kp = VecXf::Constant(joints, 31.f);
    action.kd = VecXf::Constant(joints, 1.f);
    return action;
  }
};
