# The framework with the parts that a fleet needs; the project folder is mounted or copied to /project.
FROM python:3.12-slim
RUN useradd --create-home --uid 10001 orchestrator
WORKDIR /src
COPY . /src
RUN pip install --no-cache-dir -c constraints.txt '.[postgres,serve,ui]' && rm -rf /src
USER orchestrator
WORKDIR /project
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["orchestrator"]
CMD ["worker", "--project", "/project"]
