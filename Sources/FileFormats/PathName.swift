/// The parts of a path as the user wrote it. Nothing here looks at the file system.
///
/// Foundation's functions of that kind end the process on some short paths, so they are not used anywhere.
public enum PathName {
  /// What stands after the last `/`, trailing ones aside: `net.onnx` of `a/net.onnx`, `a` of `a/`; empty for `/` and ``.
  public static func last(_ path: String) -> String {
    String(parts(path).last)
  }

  /// What stands before the last `/` with it, trailing ones aside: `a/` of `a/net.onnx`, empty for `net.onnx`. The folder
  /// of a file is this followed by a name.
  public static func folderPrefix(_ path: String) -> String {
    String(parts(path).prefix)
  }

  /// The folder that holds the file: `a` of `a/net.onnx`, `.` of `net.onnx`, `/` of `/net.onnx`.
  public static func folder(_ path: String) -> String {
    var prefix = parts(path).prefix
    if prefix.isEmpty { return "." }
    while prefix.count > 1, prefix.last == "/" { prefix = prefix.dropLast() }
    return String(prefix)
  }

  /// The last part without its extension: `net` of `a/net.onnx`. A name that only begins with a point has no extension.
  public static func stem(_ path: String) -> String {
    let name = last(path)
    guard let point = name.lastIndex(of: "."), name[..<point].contains(where: { $0 != "." }) else {
      return name
    }
    return String(name[..<point])
  }

  private static func parts(_ path: String) -> (prefix: Substring, last: Substring) {
    var whole = path[...]
    while whole.last == "/" { whole = whole.dropLast() }
    guard let slash = whole.lastIndex(of: "/") else {
      return whole.isEmpty ? (path[...], "") : ("", whole)
    }
    return (whole[...slash], whole[whole.index(after: slash)...])
  }
}
