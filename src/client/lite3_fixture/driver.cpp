// For tests: Lite3_rl_deploy's control loop in the hands of the test. Each line of standard input
// is a call; each answer is a line of JSON. The runner is made under the vendor's name.
#include "lite3_socket_policy_runner.hpp"

#include <iostream>
#include <sstream>

template <typename Vector>
static void print(const char* name, const Vector& values) {
  std::printf(",\"%s\":[", name);
  for (int i = 0; i < values.size(); ++i) std::printf("%s%.17g", i ? "," : "", double(values(i)));
  std::printf("]");
}

int main() {
  const auto runner = std::make_shared<Lite3TestPolicyRunnerONNX>("test_onnx");
  const std::shared_ptr<PolicyRunnerBase> base = runner;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "enter") base->OnEnter();
    if (verb == "show") base->DisplayPolicyInfo();
    if (verb == "act") {
      // Roll, pitch, yaw; body rates; command; joint angles and velocities (fewer: fewer joints).
      std::vector<float> numbers;
      for (std::string word; words >> word;) numbers.push_back(std::strtof(word.c_str(), nullptr));
      const auto joints = static_cast<Eigen::Index>(numbers.size() - 9) / 2;
      RobotBasicState state;
      state.base_rot_mat = (Eigen::AngleAxisf(numbers[2], Vec3f::UnitZ()) *
                            Eigen::AngleAxisf(numbers[1], Vec3f::UnitY()) *
                            Eigen::AngleAxisf(numbers[0], Vec3f::UnitX()))
                               .toRotationMatrix();
      state.base_omega = Eigen::Map<Vec3f>(&numbers[3]);
      state.cmd_vel_normlized = Eigen::Map<Vec3f>(&numbers[6]);
      state.joint_pos = Eigen::Map<VecXf>(numbers.data() + 9, joints);
      state.joint_vel = Eigen::Map<VecXf>(numbers.data() + 9 + joints, joints);
      const RobotAction action = base->GetRobotAction(state);
      std::printf("{\"decimation\":%d,\"count\":%d", base->decimation_, base->run_cnt_);
      print("pose", action.goal_joint_pos);
      print("velocity", action.goal_joint_vel);
      print("kp", action.kp);
      print("kd", action.kd);
      print("torque", action.tau_ff);
      std::printf("}\n");
    }
    std::fflush(stdout);
  }
}
