import FileFormats
import Foundation

/// The folder of shared specifications, networks and reference results that tests compare with.
///
/// It is named by the environment variable `NNVERIFY_SHARED`, else it lies beside the project. Suites that need it carry
/// the trait `.enabled(if: SharedData.isPresent, Comment(rawValue: SharedData.comment))`.
public enum SharedData {
  /// The project's folder.
  public static let project = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  public static let root: URL = {
    if let path = ProcessInfo.processInfo.environment["NNVERIFY_SHARED"], !path.isEmpty {
      return URL(fileURLWithPath: path)  // absolute: tests write paths into files elsewhere
    }
    return project.deletingLastPathComponent().appendingPathComponent("shared")
  }()

  public static let isPresent = FileManager.default.fileExists(
    atPath: root.appendingPathComponent("verification").path)

  /// Why a suite was skipped.
  public static let comment =
    "needs the shared reference data beside the project (../shared) or in NNVERIFY_SHARED; skipped without"

  /// The path of a file in the folder.
  public static func path(_ relative: String) -> String { root.appendingPathComponent(relative).path }

  /// The names of the entries of a folder that end in `suffix`, sorted; empty where the folder is absent.
  public static func names(in folder: String, suffix: String = "") -> [String] {
    let entries = try? FileManager.default.contentsOfDirectory(atPath: path(folder))
    return (entries ?? []).filter { $0.hasSuffix(suffix) }.sorted()
  }

  /// A JSON file of the folder.
  public static func json(_ relative: String) throws -> JSONValue {
    try JSONValue.parse(contentsOf: path(relative))
  }
}
