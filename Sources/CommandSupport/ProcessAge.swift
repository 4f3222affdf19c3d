import Foundation

/// How long this process has been there: a busy machine takes its time to load it.
enum ProcessAge {
  /// Seconds since the process was started; 0 where that cannot be told.
  static var seconds: Double {
    // proc(5): the command's name, in parentheses, may hold anything; the start is the 20th field after it, in ticks since
    // the machine was started.
    guard let text = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
      let name = text.lastIndex(of: ")")
    else { return 0 }
    let fields = text[text.index(after: name)...].split(separator: " ")
    var now = timespec()
    guard fields.count > 19, let ticks = Double(fields[19]), clock_gettime(CLOCK_BOOTTIME, &now) == 0 else {
      return 0
    }
    let age = Double(now.tv_sec) + Double(now.tv_nsec) / 1e9 - ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    // A process in a name space of its own may have another clock.
    return (0...5).contains(age) ? age : 0
  }
}
