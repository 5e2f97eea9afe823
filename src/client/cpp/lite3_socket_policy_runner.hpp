// Policy runner for DeepRobotics' Lite3_rl_deploy that asks a lite3rl service for its actions.
// C++17; nothing to install or link.
//
// Copy this file to run_policy/ and add one line to state_machine/rl_control_state_onnx.hpp,
// below its includes:
//
//     #include "lite3_socket_policy_runner.hpp"
//
// It takes the place of the vendor's runner there. Environment variables:
//
//     LITE3RL_CONNECT      unix:PATH or tcp:HOST:PORT    (unix:/tmp/lite3_policy.sock)
//     LITE3RL_DEADLINE_US  for one action                (5000)
//     LITE3RL_HOLD         periods that the last command is held when no action comes in time (8)
//     LITE3RL_FALLBACK     onnx: then the vendor's own runner acts, in this process
//     LITE3RL_DECIMATION   milliseconds of one period    (12, the vendor's; policies of 50 Hz: 20)
//
// Without an action the last command is held: for LITE3RL_HOLD periods if the service is late or
// busy, for one if it is gone or its model failed. Then the joints are damped, until it answers
// again; that begins a new episode. Readings that are not finite damp at once.
#ifndef LITE3_SOCKET_POLICY_RUNNER_HPP
#define LITE3_SOCKET_POLICY_RUNNER_HPP

#include "lite3rl_client.hpp"

#include "policy_runner_base.hpp"
#if __has_include("lite3_test_policy_runner_onnx.hpp")
#include "lite3_test_policy_runner_onnx.hpp"
#define LITE3RL_HAS_ONNX_RUNNER
#elif __has_include("lite3_test_policy_runner_onnx.h")
#include "lite3_test_policy_runner_onnx.h"
#define LITE3RL_HAS_ONNX_RUNNER
#endif

#include <atomic>
#include <memory>

namespace lite3rl {

// The contract of the vendor's policy with the robot: change it with the policy. Joints are in the
// order FL FR HL HR × HipX HipY Knee, of the robot and of the policy alike.
constexpr int kJoints = 12, kObservation = 45;
constexpr float kDefaultPose[3] = {0.f, -0.65f, 1.3f};  // rad, of each leg
constexpr float kActionScale[3] = {0.125f, 0.25f, 0.25f};
constexpr float kOmegaScale = 0.25f, kJointVelocityScale = 0.05f;
constexpr float kCommandMax = 0.8f;  // m/s, m/s, rad/s at the stick's end
constexpr float kKp = 30.f, kKd = 1.f, kDampingKd = 2.5f;

// A number of the environment, or `normal` where there is none in the range.
inline long setting(const char* variable, long normal, long min, long max) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == 0) return normal;
  char* rest = nullptr;
  const long value = std::strtol(text, &rest, 10);
  if (*rest == 0 && value >= min && value <= max) return value;
  std::fprintf(stderr, "[lite3rl] Cannot use %s \"%s\": need %ld to %ld, taken is %ld\n", variable,
               text, min, max, normal);
  return normal;
}

inline std::string setting(const char* variable, const char* normal) {
  const char* text = std::getenv(variable);
  return text == nullptr || *text == 0 ? normal : text;
}

}  // namespace lite3rl

class Lite3SocketPolicyRunner : public PolicyRunnerBase {
 public:
  explicit Lite3SocketPolicyRunner(std::string policy_name)
      : PolicyRunnerBase(policy_name),
        address_(lite3rl::setting("LITE3RL_CONNECT", "unix:/tmp/lite3_policy.sock")),
        deadline_us_(std::uint32_t(lite3rl::setting("LITE3RL_DEADLINE_US", 5000, 100, 60'000'000))),
        hold_(int(lite3rl::setting("LITE3RL_HOLD", 8, 0, 1000))),
        client_(address_, lite3rl::kObservation, lite3rl::kJoints) {
    // The base class leaves both uninitialised, and the policy thread divides by the first.
    decimation_ = int(lite3rl::setting("LITE3RL_DECIMATION", 12, 1, 1000));
    run_cnt_ = 0;
    command_pose(lite3rl::kKp, lite3rl::kKd);
    if (lite3rl::setting("LITE3RL_FALLBACK", "") == "onnx") make_fallback();
    tell(client_.connect(), client_.reason());
    check_period();
  }

  void DisplayPolicyInfo() override {
    std::printf("lite3rl policy: %s from %s, deadline %u us, %s\n", policy_name_.c_str(),
                address_.c_str(), deadline_us_, fallback_ ? "fallback onnx" : "no fallback");
  }

  // Called by another thread than GetRobotAction(), which therefore begins the episode.
  void OnEnter() override {
    run_cnt_ = 0;
    has_entered_ = true;
  }

  // Returns within the deadline (a fallback's time comes on top), and does not throw. What it
  // returns is sent to the joints in any case.
  RobotAction GetRobotAction(const RobotBasicState& live) override {
    if (has_entered_.exchange(false)) begin();
    const RobotBasicState state = live;  // the caller's other thread goes on writing it
    const bool is_sound = observe(state);
    const lite3rl::Status status = is_sound
                                       ? client_.infer(observation_, action_, deadline_us_)
                                       : lite3rl::Status::bad_input;
    tell(status, is_sound ? client_.reason() : "a reading is missing or not finite");
    if (lite3rl::has_action(status)) {
      misses_ = 0;
      std::memcpy(last_action_, action_, sizeof last_action_);
      command_action();
    } else if (status == lite3rl::Status::bad_input || !fall_back(state)) {
      hold_or_damp(status);
    }
    ++run_cnt_;
    return command_;
  }

 private:
  void begin() {
    client_.reset();
    misses_ = 0;
    std::memset(last_action_, 0, sizeof last_action_);
    command_pose(lite3rl::kKp, lite3rl::kKd);
    if (fallback_) fallback_->OnEnter();
  }

  // Makes the observation; false where a reading is missing or not finite.
  bool observe(const RobotBasicState& state) {
    if (state.joint_pos.size() != lite3rl::kJoints) return false;
    if (state.joint_vel.size() != lite3rl::kJoints) return false;
    float* at = observation_;
    for (int i = 0; i < 3; ++i) *at++ = state.base_omega(i) * lite3rl::kOmegaScale;
    for (int i = 0; i < 3; ++i) *at++ = -state.base_rot_mat(2, i);  // gravity in the body frame
    for (int i = 0; i < 3; ++i) *at++ = state.cmd_vel_normlized(i) * lite3rl::kCommandMax;
    for (int i = 0; i < lite3rl::kJoints; ++i) {
      *at++ = state.joint_pos(i) - lite3rl::kDefaultPose[i % 3];
    }
    for (int i = 0; i < lite3rl::kJoints; ++i) {
      *at++ = state.joint_vel(i) * lite3rl::kJointVelocityScale;
    }
    for (int i = 0; i < lite3rl::kJoints; ++i) *at++ = last_action_[i];
    for (float value : observation_) {
      if (!std::isfinite(value)) return false;
    }
    return true;
  }

  void command_action() {
    command_pose(lite3rl::kKp, lite3rl::kKd);
    for (int i = 0; i < lite3rl::kJoints; ++i) {
      command_.goal_joint_pos(i) += action_[i] * lite3rl::kActionScale[i % 3];
    }
  }

  // The default pose with these gains; kp 0 is damping.
  void command_pose(float kp, float kd) {
    command_.goal_joint_pos = VecXf::Zero(lite3rl::kJoints);
    command_.goal_joint_vel = VecXf::Zero(lite3rl::kJoints);
    command_.tau_ff = VecXf::Zero(lite3rl::kJoints);
    command_.kp = VecXf::Constant(lite3rl::kJoints, kp);
    command_.kd = VecXf::Constant(lite3rl::kJoints, kd);
    for (int i = 0; i < lite3rl::kJoints; ++i) {
      command_.goal_joint_pos(i) = lite3rl::kDefaultPose[i % 3];
    }
  }

  void hold_or_damp(lite3rl::Status status) {
    using lite3rl::Status;
    const bool is_slow = status == Status::deadline_missed || status == Status::busy;
    const int held = is_slow ? hold_ : status == Status::bad_input ? 0 : 1;
    if (++misses_ <= held) return;
    command_pose(0.f, lite3rl::kDampingKd);
    std::memset(last_action_, 0, sizeof last_action_);
    client_.reset();
  }

  void make_fallback() {
#ifdef LITE3RL_HAS_ONNX_RUNNER
    try {
      fallback_ = std::make_shared<Lite3TestPolicyRunnerONNX>(policy_name_);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "[lite3rl] no fallback: %s\n", error.what());
    }
#else
    std::fprintf(stderr, "[lite3rl] no fallback: lite3_test_policy_runner_onnx.hpp is not there\n");
#endif
  }

  // The vendor's runner acts in this period; false where there is none, or it gives no command.
  bool fall_back(const RobotBasicState& state) {
    if (!fallback_) return false;
    try {
      const RobotAction command = fallback_->GetRobotAction(state);
      if (command.goal_joint_pos.size() != lite3rl::kJoints) return false;
      for (int i = 0; i < lite3rl::kJoints; ++i) {
        if (!std::isfinite(command.goal_joint_pos(i))) return false;
      }
      command_ = command;
    } catch (...) {
      return false;
    }
    misses_ = 0;
    for (int i = 0; i < lite3rl::kJoints; ++i) {
      const float offset = command_.goal_joint_pos(i) - lite3rl::kDefaultPose[i % 3];
      last_action_[i] = offset / lite3rl::kActionScale[i % 3];
    }
    return true;
  }

  // A policy acts otherwise at another rate than that of its training, where the service knows it.
  void check_period() const {
    static const char kKey[] = "\"controlPeriodMs\":";
    const std::size_t at = client_.hello().json.find(kKey);
    if (at == std::string::npos) return;
    const double period_ms = std::atof(client_.hello().json.c_str() + at + sizeof kKey - 1);
    if (std::lround(period_ms) == decimation_) return;
    std::fprintf(stderr, "[lite3rl] the policy was trained at %g ms a period, and is run at %d ms: "
                 "LITE3RL_DECIMATION=%ld settles it\n", period_ms, decimation_,
                 std::lround(period_ms));
  }

  // Says on stderr how the service is when that changes, in at most five lines a second.
  void tell(lite3rl::Status status, const char* why) {
    if (status == told_) return;
    const std::uint64_t second = lite3rl::monotonic_us() / 1'000'000;
    told_lines_ = second == told_at_s_ ? told_lines_ + 1 : 1;
    told_at_s_ = second;
    if (told_lines_ > 5) return;
    told_ = status;
    std::fprintf(stderr, "[lite3rl] %s: %s%s%s\n", address_.c_str(), lite3rl::name(status),
                 *why == 0 ? "" : ", ", why);
  }

  const std::string address_;
  const std::uint32_t deadline_us_;
  const int hold_;  // periods
  lite3rl::Client client_;
  float observation_[lite3rl::kObservation] = {}, action_[lite3rl::kJoints] = {};
  float last_action_[lite3rl::kJoints] = {};
  RobotAction command_;
  std::shared_ptr<PolicyRunnerBase> fallback_;
  std::atomic<bool> has_entered_{true};
  int misses_ = 0;  // periods in a row without an action
  lite3rl::Status told_{0xffff};  // nothing yet
  std::uint64_t told_at_s_ = 0;
  int told_lines_ = 0;
};

// What is made below under the vendor's name is this runner.
#define Lite3TestPolicyRunnerONNX Lite3SocketPolicyRunner

#endif  // LITE3_SOCKET_POLICY_RUNNER_HPP
