// For tests: the part of Lite3_rl_deploy that a policy runner sees, with its names and types.
#pragma once
#include <Eigen/Dense>
#include <string>

namespace types {
using Vec3f = Eigen::Vector3f;
using Mat3f = Eigen::Matrix3f;
using VecXf = Eigen::VectorXf;

struct RobotBasicState {
  Mat3f base_rot_mat;
  Vec3f base_omega, cmd_vel_normlized;
  VecXf joint_pos, joint_vel;
};

struct RobotAction {
  VecXf goal_joint_pos, goal_joint_vel, kp, kd, tau_ff;
};
}  // namespace types

using namespace types;

class PolicyRunnerBase {
 public:
  explicit PolicyRunnerBase(std::string policy_name) : policy_name_(policy_name) {}
  virtual ~PolicyRunnerBase() {}
  virtual void DisplayPolicyInfo() = 0;
  virtual RobotAction GetRobotAction(const RobotBasicState&) = 0;
  virtual void OnEnter() = 0;

  const std::string policy_name_;
  int decimation_;
  int run_cnt_;
};
