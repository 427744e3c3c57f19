import Foundation
import Synchronization

/// Compiled kernels, in memory and on disk, by text and options.
///
/// Which compiler made the code is kept with it: who has a compiler takes what this one has made, who has
/// none takes what there is, so that kernels compiled elsewhere can be carried to a machine.
///
/// A file holds its whole key before the code and a hash of the code behind it, so that a file of the
/// same name that belongs to another text, or that is damaged, is found out and compiled anew.
public final class CUDAKernelCache: Sendable {
  /// What the code of a kernel depends on beside its compiler.
  public struct Key: Sendable, Hashable {
    let text: String

    /// The key of a source.
    public init(_ source: CUDASource, options: [String]) {
      text = (options + [source.text]).joined(separator: "\u{0}")
    }

    /// Only a file's name, since the file holds the key.
    var name: String { String(CUDAKernelCache.hash(text.utf8), radix: 16) + ".cubin" }
  }

  /// 64 bits of FNV-1a.
  private static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
  }

  /// Code and who made it.
  private struct Entry {
    var compiler: String
    var code: [UInt8]
  }

  private static let mark = Array("swift-attention kernel 2\n".utf8)
  private let directory: URL?
  private let memory = Mutex<[Key: Entry]>([:])

  /// A cache.
  ///
  /// - Parameter directory: The path of where files are kept; nil for memory alone. It is made when
  ///   first needed; one that cannot be written is as good as none.
  public init(directory: String?) {
    self.directory = directory.map { URL(fileURLWithPath: $0, isDirectory: true) }
  }

  /// A cache where `ATTENTION_KERNELS` says, or in the user's cache folder.
  public static var standard: CUDAKernelCache {
    func value(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }
    let caches = value("XDG_CACHE_HOME") ?? (value("HOME") ?? "") + "/.cache"
    return CUDAKernelCache(
      directory: value("ATTENTION_KERNELS") ?? caches + "/swift-attention/kernels")
  }

  /// The code kept for a key, in memory or on disk.
  ///
  /// - Parameter compiler: Who must have made it; nil for anyone.
  public func code(for key: Key, by compiler: String?) -> [UInt8]? {
    let known = memory.withLock { $0[key] }
    guard let entry = known ?? read(key) else { return nil }
    if known == nil { memory.withLock { $0[key] = entry } }
    return compiler == nil || compiler == entry.compiler ? entry.code : nil
  }

  /// Keeps a kernel's code, in memory and on disk, in the place of another compiler's.
  public func keep(_ code: [UInt8], for key: Key, by compiler: String) {
    let entry = Entry(compiler: compiler, code: code)
    memory.withLock { $0[key] = entry }
    write(entry, key)
  }

  private func file(_ key: Key) -> URL? { directory?.appendingPathComponent(key.name) }

  /// Mark; key, compiler and code, each behind its length in eight bytes; the hash of the last two.
  private func read(_ key: Key) -> Entry? {
    guard let file = file(key), let data = try? Data(contentsOf: file) else { return nil }
    var rest = Array(data)[...]
    func bits() -> UInt64? {
      guard rest.count >= 8 else { return nil }
      defer { rest = rest.dropFirst(8) }
      return rest.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    func part() -> ArraySlice<UInt8>? {
      guard let length = bits().flatMap({ Int(exactly: $0) }), (0...rest.count).contains(length)
      else { return nil }
      defer { rest = rest.dropFirst(length) }
      return rest.prefix(length)
    }
    guard rest.starts(with: Self.mark) else { return nil }
    rest = rest.dropFirst(Self.mark.count)
    guard let text = part(), text.elementsEqual(key.text.utf8), let compiler = part(),
      let code = part(), !code.isEmpty, rest.count == 8, bits() == Self.hash(compiler + code)
    else { return nil }
    return Entry(compiler: String(decoding: compiler, as: UTF8.self), code: Array(code))
  }

  private func write(_ entry: Entry, _ key: Key) {
    guard let directory, let file = file(key) else { return }
    func bytes(_ n: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: n >> (8 * $0)) } }
    let compiler = Array(entry.compiler.utf8)
    let whole =
      [Array(key.text.utf8), compiler, entry.code].reduce(Self.mark) {
        $0 + bytes(UInt64($1.count)) + $1
      } + bytes(Self.hash(compiler + entry.code))
    try? FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    try? Data(whole).write(to: file, options: .atomic)
  }
}

extension NVRTC {
  /// The kernel's code, compiled where the cache does not have it.
  public func code(of source: CUDASource, cache: CUDAKernelCache) throws(Failure)
    -> [UInt8]
  {
    let key = CUDAKernelCache.Key(
      source, options: Self.options(for: source.architecture))
    let compiler = "nvrtc \(version.major).\(version.minor)"
    if let code = cache.code(for: key, by: compiler) { return code }
    let code = try compile(source).cubin
    cache.keep(code, for: key, by: compiler)
    return code
  }
}
