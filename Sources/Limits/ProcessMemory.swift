import Foundation

/// What this process uses and may use.
public enum ProcessMemory {
  /// The resident memory in bytes, 0 where it cannot be read. Takes microseconds and allocates nothing.
  public static var resident: Int {
    let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return 0 }
    defer { close(descriptor) }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 128) { buffer in
      let count = read(descriptor, buffer.baseAddress, buffer.count)
      guard count > 0 else { return 0 }
      // The second number is the resident pages.
      var pages = 0
      var column = 0
      for byte in buffer[..<count] {
        if byte == UInt8(ascii: " ") {
          column += 1
          if column == 2 { break }
        } else if column == 1 {
          pages = pages &* 10 &+ Int(byte &- UInt8(ascii: "0"))
        }
      }
      return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
  }

  /// The memory of the machine in bytes, or of the group of processes that this one is confined to.
  public static var available: Int {
    let machine = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"].compactMap {
      path in
      (try? String(contentsOfFile: path, encoding: .utf8)).flatMap {
        Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
      }
    }
    return limits.filter { $0 > 0 }.reduce(machine, min)
  }
}
