import CMicrokernels
import Glibc

/// The program that started this process as one of several, as far as the environment says.
public struct RankLauncher: Sendable, Hashable {
  /// The number of processes that it started.
  public let count: Int
  /// How many of them run on this machine.
  public let localCount: Int

  /// What started this process: `mpiexec` of Open MPI, MPICH or Intel MPI; nil where nothing did.
  public init?() {
    self.init { name in getenv(name).map { String(cString: $0) } }
  }

  package init?(_ environment: (String) -> String?) {
    func number(_ names: [String]) -> Int? {
      names.compactMap { environment($0).flatMap { Int($0) } }.first { $0 > 0 }
    }
    guard let count = number(["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]) else { return nil }
    self.count = count
    localCount = number(["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"]) ?? 1
  }

  /// The processors for one of this machine's ranks: those that the launcher bound it to, or a share of
  /// those that all may use.
  func processors(of available: Int) -> Int {
    let ofLauncher = Int(swa_processor_count(getppid()))
    return available < ofLauncher ? available : max(1, available / localCount)
  }

  /// Folders of libraries beside the programs that this process descends from: a launcher's own MPI
  /// is the one to open, and need not be where the loader looks.
  static var folders: [String] {
    var folders: [String] = []
    var process = getppid()
    while process > 1, folders.count < 16 {
      var path = [CChar](repeating: 0, count: Int(PATH_MAX))
      let length = readlink("/proc/\(process)/exe", &path, path.count)
      if length > 0 {
        let parts = String(decoding: path[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
          .split(separator: "/")
        if parts.count > 1 {
          folders.append("/" + parts.dropLast(2).joined(separator: "/") + "/lib")
        }
      }
      guard let parent = parent(of: process) else { break }
      process = parent
    }
    return folders
  }

  private static func parent(of process: pid_t) -> pid_t? {
    guard let file = fopen("/proc/\(process)/stat", "r") else { return nil }
    defer { fclose(file) }
    var text = [UInt8](repeating: 0, count: 512)
    let count = fread(&text, 1, text.count, file)
    // "pid (name) state parent …", and a name may have anything in it.
    let rest = String(decoding: text[..<count], as: UTF8.self).split(separator: ")").last
    let fields = rest?.split(separator: " ") ?? []
    return fields.count > 1 ? pid_t(fields[1]) : nil
  }
}
