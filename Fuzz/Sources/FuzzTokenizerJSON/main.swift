// Reads the input as a tokenizer.json, and encodes and decodes a fixed text with a sound one. Only a
// trap, an over-read, unbounded memory or a hang is a finding.
import CLibFuzzer
import Glibc
import Tokenizers

let text = "Hello, world! <s>caf\u{E9} \u{4F60}\u{597D} 123\n\t<|im_end|> \u{1F600} aaaa"

var count = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? =
  CommandLine.unsafeArgv

exit(
  LLVMFuzzerRunDriver(&count, &arguments) { data, size in
    let bytes = Array(UnsafeRawBufferPointer(start: data, count: size))
    do throws(Tokenizer.LoadError) {
      let tokenizer = try Tokenizer(tokenizerJSON: bytes)
      for parseSpecial in [false, true] {
        let ids = tokenizer.encode(text, parseSpecial: parseSpecial)
        _ = tokenizer.decode(ids, skipSpecial: false)
      }
    } catch {
      precondition(!"\(error)".isEmpty)
    }
    return 0
  })
