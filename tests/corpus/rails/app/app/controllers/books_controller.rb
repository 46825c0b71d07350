class BooksController < ActionController::Base
  class Overdue < StandardError; end

  def index
    render plain: "#{Book.count} books\n"
  end

  def boom
    render plain: shelf("poetry").length
  end

  def chained
    Integer("ten")
  rescue ArgumentError
    raise Overdue, "the counter\ncannot count"
  end

  def told
    logger.debug "a line of debug"
    logger.info "a line of info: 0 errors"
    logger.warn "a line of warn"
    logger.error "a line of error"
    logger.fatal "a line of fatal"
    puts "a line of puts"
    warn "a line on stderr"
    head :no_content
  end

  private

  def shelf(name)
    { "prose" => [] }[name]
  end
end
