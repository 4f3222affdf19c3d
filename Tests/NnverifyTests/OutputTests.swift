import Foundation
import TestSupport
import Testing

/// An answer that cannot be delivered is no success, and never a crash.
@Suite struct OutputTests {
  private func run(_ command: String) throws -> (status: Int32, errors: String) {
    let folder = try TemporaryFolder()
    let errors = folder.path("errors")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.currentDirectoryURL = SharedData.project
    process.arguments = ["-c", "set -o pipefail; { \(command) ; } 2>\(errors)"]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return (process.terminationStatus, try String(contentsOfFile: errors, encoding: .utf8))
  }

  @Test(
    .enabled(if: FileManager.default.fileExists(atPath: "/dev/full"), "the system has no /dev/full"),
    arguments: [
      "bounds networks/digits-mlp.onnx 0.02", "bounds networks/digits-mlp.onnx 0.02 --json",
      "run networks/digits-mlp.onnx", "inspect --coverage --json", "inspect --coverage",
      "verify examples/digits-seven-0.02.vnnlib --network networks/digits-mlp.onnx",
    ])
  func fullDevice(_ arguments: String) throws {
    let (status, errors) = try run("\(Executable("nnverify").path) \(arguments) > /dev/full")
    #expect(status == 4, "\(arguments): \(errors)")
    #expect(errors.contains("standard output: No space left on device"))
  }

  @Test func fullStandardErrorIsNoCrash() throws {
    let (status, _) = try run("\(Executable("nnverify").path) bounds missing.onnx 0.1 2> /dev/full")
    #expect(status == 2)
  }

  /// A reader that goes away ends the command quietly: with status 0 or, by convention, by SIGPIPE (141 in the shell).
  @Test func closedPipe() throws {
    for arguments in ["inspect --coverage", "bounds networks/digits-mlp.onnx 0.02 --intermediate --json"] {
      let (status, errors) = try run("\(Executable("nnverify").path) \(arguments) | true")
      #expect(status == 0 || status == 141, "\(arguments): \(errors)")
      #expect(errors.isEmpty)
    }
  }
}
