# cmake -DOUTPUT=x.cpp -DSYMBOL=name "-DFILES=a;b" -P embed.cmake: files as arrays inside one C++ source, with a table of them named
# SYMBOL, in the order of their names. src/vulkan/embedded.hpp declares the tables.
list(SORT FILES)
set(arrays "")
set(rows "")
foreach(file IN LISTS FILES)
  get_filename_component(stem ${file} NAME_WE)
  string(MAKE_C_IDENTIFIER ${stem} id)
  file(READ ${file} hex HEX)
  # A string: compilers read megabytes of it at once, and of numbers in a minute. Aligned, because SPIR-V is read as words.
  string(REGEX REPLACE "(..)" "\\\\x\\1" text "${hex}")
  string(APPEND arrays "alignas(4) const char ${id}[] = \"${text}\";\n")
  string(APPEND rows "    {\"${stem}\", ${id}, sizeof ${id} - 1},\n")
endforeach()
file(WRITE ${OUTPUT} "// Made by cmake/embed.cmake.\n#include \"vulkan/embedded.hpp\"\n\nnamespace {\n${arrays}}  // namespace\n
namespace aule::vulkan {\nnamespace {\nconst EmbeddedFile kFiles[] = {\n${rows}};\n}  // namespace\nstd::span<const EmbeddedFile> ${SYMBOL}() { return kFiles; }\n}  // namespace aule::vulkan\n")
